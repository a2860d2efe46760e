       IDENTIFICATION DIVISION.
       PROGRAM-ID. caller.
      * Refused: the subset has no CALL.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01  ANSWER  PIC X(4).
       PROCEDURE DIVISION.
           CALL "ASK" USING ANSWER.
           DISPLAY ANSWER.
           STOP RUN.
