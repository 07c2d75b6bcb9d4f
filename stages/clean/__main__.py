from stages.clean import main

main()
