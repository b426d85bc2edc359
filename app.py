"""The Space's entry point; locally `make run` does the same."""

from playground.app import launch

if __name__ == "__main__":
    launch()
