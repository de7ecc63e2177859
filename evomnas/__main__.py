"""`python -m evomnas` is the command `evomnas`."""

from evomnas.cli import main

if __name__ == "__main__":
    main()
