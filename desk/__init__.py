"""Where people sit: the command line and the notebook display."""
