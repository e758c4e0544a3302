"""``python -m nbcluster.dashboard``."""

from nbcluster.dashboard.main import main

if __name__ == "__main__":
    main()
