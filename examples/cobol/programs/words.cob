       IDENTIFICATION DIVISION.
       PROGRAM-ID. words.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01  LINE-IN        PIC X(60).
       01  LINES-READ     PIC 9(3) VALUE 0.
       01  BLANK-LINES    PIC 9(3) VALUE 0.
       01  PLACE            PIC 9(3).
       01  VOWELS         PIC 9(4) VALUE 0.
       01  WORD           PIC X(15).
       01  WORD-LENGTH    PIC 99.
       01  WORDS-SEEN     PIC 9(4) VALUE 0.
       01  LENGTHS.
           05  LENGTH-COUNT PIC 9(3) OCCURS 15 VALUE 0.
       01  I              PIC 99.
       01  SHOWN          PIC ZZ9.
       PROCEDURE DIVISION.
       BEGIN.
           PERFORM WITH TEST AFTER UNTIL BLANK-LINES > 2
                                      OR LINES-READ > 20
               ACCEPT LINE-IN
               ADD 1 TO LINES-READ
               IF LINE-IN = SPACES
                   ADD 1 TO BLANK-LINES
               ELSE
                   PERFORM COUNT-WORDS
               END-IF
           END-PERFORM.
           DISPLAY "LINES " LINES-READ " WORDS " WORDS-SEEN
               " VOWELS " VOWELS.
           PERFORM VARYING I FROM 1 BY 1 UNTIL I > 15
               IF LENGTH-COUNT(I) > 0
                   MOVE LENGTH-COUNT(I) TO SHOWN
                   DISPLAY "  " I " LETTERS " SHOWN
               END-IF
           END-PERFORM.
           STOP RUN.
       COUNT-WORDS.
           INSPECT LINE-IN CONVERTING "abcdefghijklmnopqrstuvwxyz"
               TO "ABCDEFGHIJKLMNOPQRSTUVWXYZ".
           INSPECT LINE-IN TALLYING VOWELS FOR ALL "A" "E" "I" "O" "U".
           INSPECT LINE-IN REPLACING ALL "," BY SPACE "." BY SPACE.
           MOVE 1 TO PLACE.
           PERFORM UNTIL PLACE > 60
               MOVE SPACES TO WORD
               UNSTRING LINE-IN DELIMITED BY ALL SPACE
                   INTO WORD COUNT IN WORD-LENGTH
                   WITH POINTER PLACE
               END-UNSTRING
               IF WORD NOT = SPACES
                   ADD 1 TO WORDS-SEEN
                   IF WORD-LENGTH > 15
                       MOVE 15 TO WORD-LENGTH
                   END-IF
                   ADD 1 TO LENGTH-COUNT(WORD-LENGTH)
               END-IF
           END-PERFORM.
