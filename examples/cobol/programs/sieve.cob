       IDENTIFICATION DIVISION.
       PROGRAM-ID. sieve.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01 LIMIT-TEXT PIC 9(3).
       01 TABLE-OF.
          02 MARK PIC 9 OCCURS 200 TIMES.
       01 I PIC 9(4) COMP.
       01 J PIC 9(4) COMP.
       01 FOUND PIC 9(3) VALUE ZERO.
       01 LINE-OUT PIC X(40) VALUE SPACES.
       01 PTR PIC 99 VALUE 1.
       01 SHOWN PIC ZZ9.
       PROCEDURE DIVISION.
           ACCEPT LIMIT-TEXT
           IF LIMIT-TEXT > 200 MOVE 200 TO LIMIT-TEXT END-IF
           MOVE 2 TO I
           PERFORM UNTIL I > LIMIT-TEXT
              IF MARK(I) = 0
                 ADD 1 TO FOUND
                 MOVE I TO SHOWN
                 STRING SHOWN DELIMITED BY SIZE "," DELIMITED BY SIZE
                   INTO LINE-OUT WITH POINTER PTR
                   ON OVERFLOW
                      DISPLAY LINE-OUT
                      MOVE SPACES TO LINE-OUT
                      MOVE 1 TO PTR
                 END-STRING
                 MULTIPLY I BY I GIVING J
                 PERFORM UNTIL J > LIMIT-TEXT OR J > 200
                    MOVE 1 TO MARK(J)
                    ADD I TO J
                 END-PERFORM
              END-IF
              ADD 1 TO I
           END-PERFORM
           DISPLAY LINE-OUT "|"
           DISPLAY "FOUND " FOUND
           STOP RUN.
