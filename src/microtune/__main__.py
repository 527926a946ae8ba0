"""`python -m microtune`: the command, where its script is not on the path."""

from microtune.cli import main

if __name__ == "__main__":
    main()
