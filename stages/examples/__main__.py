from stages.examples import main

main()
