       IDENTIFICATION DIVISION.
       PROGRAM-ID. edited.
      * Shows each number that comes in the usual edited pictures.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01  N             PIC S9(7)V999.
       01  LINES-LEFT    PIC 99 COMP VALUE 8.
       01  PLAIN         PIC Z,ZZZ,ZZ9.999-.
       01  FLOATED       PIC -(7)9.99.
       01  MONEY         PIC $$$,$$9.99CR.
       01  STARS         PIC ***,**9.99.
       01  BEHIND        PIC 9(4)+.
       01  BEFORE-IT     PIC +Z(4)9 BLANK WHEN ZERO.
       01  PARTED        PIC 99/99/9B9.
       PROCEDURE DIVISION.
           PERFORM UNTIL LINES-LEFT = 0
               ACCEPT N
               MOVE N TO PLAIN FLOATED MONEY STARS BEHIND BEFORE-IT
               MOVE N TO PARTED
               DISPLAY PLAIN "|" FLOATED "|" MONEY "|" STARS "|"
                   BEHIND "|" BEFORE-IT "|" PARTED "|"
               SUBTRACT 1 FROM LINES-LEFT
           END-PERFORM.
           STOP RUN.
