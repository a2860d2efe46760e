       IDENTIFICATION DIVISION.
       PROGRAM-ID. payroll.
      * Hours and rates come line by line: name, hours, rate.
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT TIMES-FILE ASSIGN TO "times.txt"
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS TIMES-STATUS.
           SELECT PAY-FILE ASSIGN TO "pay.txt"
               ORGANIZATION IS LINE SEQUENTIAL.
       DATA DIVISION.
       FILE SECTION.
       FD  TIMES-FILE.
       01  TIMES-LINE          PIC X(40).
       FD  PAY-FILE.
       01  PAY-LINE            PIC X(40).
       WORKING-STORAGE SECTION.
       01  TIMES-STATUS        PIC XX.
       01  WS-FLAGS.
           05  WS-END          PIC X VALUE "N".
               88  NO-MORE     VALUE "Y".
       01  WS-NAME             PIC X(10).
       01  WS-HOURS-TEXT       PIC X(8).
       01  WS-RATE-TEXT        PIC X(8).
       01  WS-HOURS            PIC S9(3)V9.
       01  WS-RATE             PIC S9(3)V99.
       01  WS-PAY              PIC S9(5)V99.
       01  WS-TOTAL            PIC S9(6)V99 COMP-3 VALUE 0.
       01  WS-COUNT            PIC 9(4) COMP VALUE 0.
       01  OUT-LINE.
           05  OUT-NAME        PIC X(10).
           05  FILLER          PIC X VALUE SPACE.
           05  OUT-PAY         PIC ZZ,ZZ9.99-.
           05  FILLER          PIC X(3) VALUE " by".
           05  OUT-BY          PIC X(5).
       PROCEDURE DIVISION.
       MAIN-LINE.
           OPEN INPUT TIMES-FILE.
           IF TIMES-STATUS NOT = "00"
               DISPLAY "NO TIMES: " TIMES-STATUS
               MOVE 4 TO RETURN-CODE
               STOP RUN
           END-IF
           OPEN OUTPUT PAY-FILE.
           PERFORM READ-ONE.
           PERFORM PAY-ONE THRU PAY-ONE-EXIT UNTIL NO-MORE.
           CLOSE TIMES-FILE PAY-FILE.
           MOVE WS-TOTAL TO OUT-PAY.
           DISPLAY "PEOPLE " WS-COUNT " TOTAL " OUT-PAY.
           STOP RUN.
       READ-ONE.
           READ TIMES-FILE
               AT END SET NO-MORE TO TRUE
           END-READ.
       PAY-ONE.
           IF TIMES-LINE = SPACES
               GO TO PAY-ONE-EXIT
           END-IF
           MOVE SPACES TO WS-NAME WS-HOURS-TEXT WS-RATE-TEXT
           UNSTRING TIMES-LINE DELIMITED BY "," OR ";"
               INTO WS-NAME WS-HOURS-TEXT WS-RATE-TEXT
           END-UNSTRING
           MOVE WS-HOURS-TEXT TO WS-HOURS
           MOVE WS-RATE-TEXT TO WS-RATE
           EVALUATE TRUE
               WHEN WS-HOURS > 40
                   COMPUTE WS-PAY ROUNDED =
                       40 * WS-RATE + (WS-HOURS - 40) * WS-RATE * 1.5
                       ON SIZE ERROR MOVE 0 TO WS-PAY
                   END-COMPUTE
                   MOVE "OVER" TO OUT-BY
               WHEN WS-HOURS < 0
                   MOVE 0 TO WS-PAY
                   MOVE "NONE" TO OUT-BY
               WHEN OTHER
                   MULTIPLY WS-HOURS BY WS-RATE GIVING WS-PAY ROUNDED
                   MOVE "HOUR" TO OUT-BY
           END-EVALUATE
           ADD WS-PAY TO WS-TOTAL
           ADD 1 TO WS-COUNT
           MOVE WS-NAME TO OUT-NAME
           MOVE WS-PAY TO OUT-PAY
           WRITE PAY-LINE FROM OUT-LINE.
       PAY-ONE-EXIT.
           PERFORM READ-ONE.
