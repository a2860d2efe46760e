"""`python -m signoff` is the `signoff` command."""

from signoff.desk.cli.app import main

if __name__ == "__main__":
    main()
