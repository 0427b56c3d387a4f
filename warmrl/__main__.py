"""`python -m warmrl`."""

from warmrl.cli.main import main

if __name__ == "__main__":
    main()
