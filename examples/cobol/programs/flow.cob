       IDENTIFICATION DIVISION.
       PROGRAM-ID. flow.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01 N PIC 99 VALUE 0.
       01 M PIC 99 VALUE 0.
       01 A PIC 9.
       01 B PIC 9.
       PROCEDURE DIVISION.
       P1.
           DISPLAY "P1".
           PERFORM P2 THRU P4.
           PERFORM P3 2 TIMES.
           PERFORM P6 VARYING A FROM 1 BY 1 UNTIL A > 2
               AFTER B FROM 3 BY -1 UNTIL B < 2.
           DISPLAY "A " A " B " B.
           GO TO P5.
       P2.
           DISPLAY "P2".
           ADD 1 TO N.
           IF N < 3 GO TO P2.
           IF N = 3 GO TO P4.
       P3.
           DISPLAY "P3 " N.
       P4.
           DISPLAY "P4".
           IF M = 0
              MOVE 1 TO M
              GO TO P3.
       P5.
           DISPLAY "P5".
           PERFORM VARYING N FROM 5 BY -2 UNTIL N < 2
              IF N = 3 EXIT PERFORM CYCLE END-IF
              DISPLAY "N " N
           END-PERFORM
           PERFORM 3 TIMES
              PERFORM WITH TEST AFTER VARYING M FROM 1 BY 1 UNTIL M > 1
                 DISPLAY "M " M
              END-PERFORM
              EXIT PERFORM
           END-PERFORM.
           STOP RUN.
       P6.
           DISPLAY A B.
