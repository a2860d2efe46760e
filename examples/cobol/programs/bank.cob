       IDENTIFICATION DIVISION.
       PROGRAM-ID. bank.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01  COMMAND-TEXT    PIC X(30).
       01  VERB            PIC X(8).
       01  ACCOUNT-TEXT    PIC X(4).
       01  AMOUNT-TEXT     PIC X(12).
       01  ACCOUNT-NUMBER  PIC 99.
       01  AMOUNT          PIC S9(7)V99.
       01  ACCOUNTS.
           05  ACCOUNT OCCURS 5 TIMES INDEXED BY ACC.
               10  OWNER       PIC X(6) VALUE "NOBODY".
               10  BALANCE     PIC S9(7)V99 COMP-3 VALUE 0.
               10  KIND        PIC X VALUE "C".
                   88  IS-SAVING   VALUE "S".
                   88  IS-CHECKING VALUE "C" "D".
       77  STEPS           PIC 9(4) COMP VALUE 0.
       77  SHOWN           PIC -(7)9.99.
       77  RATE            PIC V999 VALUE .035.
       77  REST            PIC S9(5)V99.
       77  QUOT            PIC S9(5).
       PROCEDURE DIVISION.
       MAIN SECTION.
       START-UP.
           PERFORM UNTIL STEPS >= 12
               ADD 1 TO STEPS
               ACCEPT COMMAND-TEXT
               PERFORM DO-COMMAND
           END-PERFORM.
           PERFORM REPORT-ALL.
           GOBACK.
       DO-COMMAND SECTION.
       PARSE-IT.
           MOVE SPACES TO VERB ACCOUNT-TEXT AMOUNT-TEXT.
           UNSTRING COMMAND-TEXT DELIMITED BY ALL " "
               INTO VERB ACCOUNT-TEXT AMOUNT-TEXT.
           MOVE ACCOUNT-TEXT TO ACCOUNT-NUMBER.
           MOVE AMOUNT-TEXT TO AMOUNT.
           IF ACCOUNT-NUMBER < 1 OR > 5
               DISPLAY "NO ACCOUNT " ACCOUNT-NUMBER
           ELSE
               EVALUATE VERB ALSO TRUE
                   WHEN "PAY" ALSO AMOUNT > 0
                   WHEN "ADD" ALSO AMOUNT > 0
                       ADD AMOUNT TO BALANCE(ACCOUNT-NUMBER)
                         ON SIZE ERROR DISPLAY "TOO MUCH"
                         NOT ON SIZE ERROR DISPLAY "PAID"
                       END-ADD
                   WHEN "TAKE" ALSO ANY
                       PERFORM TAKE-OUT
                   WHEN "SAVE" ALSO ANY
                       SET IS-SAVING(ACCOUNT-NUMBER) TO TRUE
                   WHEN "NAME" ALSO ANY
                       MOVE AMOUNT-TEXT TO OWNER(ACCOUNT-NUMBER)
                   WHEN "SPLIT" ALSO AMOUNT NOT = 0
                       DIVIDE BALANCE(ACCOUNT-NUMBER) BY AMOUNT
                           GIVING QUOT REMAINDER REST
                       DISPLAY "SPLIT " QUOT " REST " REST
                   WHEN OTHER
                       DISPLAY "WHAT IS " VERB "?"
               END-EVALUATE
           END-IF.
       TAKE-OUT SECTION.
       TAKE-IT.
           IF AMOUNT NOT > 0 OR AMOUNT > BALANCE(ACCOUNT-NUMBER)
               DISPLAY "REFUSED"
               EXIT PARAGRAPH
           END-IF.
           SUBTRACT AMOUNT FROM BALANCE(ACCOUNT-NUMBER).
           DISPLAY "TAKEN".
       REPORT-ALL SECTION.
       REPORT-EACH.
           PERFORM VARYING ACC FROM 1 BY 1 UNTIL ACC > 5
               IF IS-SAVING(ACC)
                   COMPUTE BALANCE(ACC) ROUNDED =
                       BALANCE(ACC) * (1 + RATE)
               END-IF
               MOVE BALANCE(ACC) TO SHOWN
               IF BALANCE(ACC) NOT = ZERO
                   DISPLAY OWNER(ACC) ": " SHOWN " " KIND(ACC)
               END-IF
           END-PERFORM.
