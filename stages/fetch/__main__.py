"""`python -m stages.fetch` in, `main` out."""

from stages.fetch import main

main()
