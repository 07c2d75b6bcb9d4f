from stages.ingest import main

main()
