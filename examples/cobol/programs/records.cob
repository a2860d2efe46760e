       IDENTIFICATION DIVISION.
       PROGRAM-ID. records.
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT IN-FILE ASSIGN TO "in.dat" ORGANIZATION SEQUENTIAL
             FILE STATUS IN-STATUS.
           SELECT OUT-FILE ASSIGN TO "out.dat" SEQUENTIAL
             FILE STATUS OUT-STATUS.
       DATA DIVISION.
       FILE SECTION.
       FD IN-FILE.
       01 IN-REC.
          02 IN-KEY PIC X(3).
          02 IN-TEXT PIC X(9).
       FD OUT-FILE.
       01 OUT-REC.
          02 OUT-SEQ PIC 9(3).
          02 OUT-KEY PIC X(3).
          02 OUT-TEXT PIC X(9) JUSTIFIED RIGHT.
       WORKING-STORAGE SECTION.
       01 IN-STATUS PIC XX.
       01 OUT-STATUS PIC XX.
       01 DONE PIC 9 VALUE 0.
       01 SEQ PIC 9(3) VALUE 0.
       01 SAVED.
          02 SAVED-KEY PIC X(3).
          02 SAVED-REST.
             03 S1 PIC X(4).
             03 S2 PIC X(5).
       01 BOTH REDEFINES SAVED PIC X(12).
       PROCEDURE DIVISION.
           OPEN INPUT IN-FILE
           DISPLAY "OPEN " IN-STATUS
           OPEN OUTPUT OUT-FILE
           PERFORM UNTIL DONE = 1
             READ IN-FILE INTO SAVED
               AT END MOVE 1 TO DONE
               NOT AT END
                 ADD 1 TO SEQ
                 DISPLAY IN-STATUS " " SAVED-KEY "/" S1 "/" S2
                    "/" BOTH(2:3) "/" IN-TEXT
                 MOVE SEQ TO OUT-SEQ
                 MOVE FUNCTION REVERSE(SAVED-KEY) TO OUT-KEY
                 MOVE FUNCTION TRIM(IN-TEXT) TO OUT-TEXT
                 WRITE OUT-REC
             END-READ
             IF IN-STATUS NOT = "00" AND NOT = "04"
                MOVE 1 TO DONE
             END-IF
           END-PERFORM
           DISPLAY "END " IN-STATUS " " SEQ
           CLOSE IN-FILE
           CLOSE OUT-FILE
           DISPLAY "CLOSED " IN-STATUS OUT-STATUS.
