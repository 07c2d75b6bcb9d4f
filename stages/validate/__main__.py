import sys

if any(argument.split("=")[0] == "--accept" for argument in sys.argv[1:]):
    from stages.validate.accept import main
else:
    from stages.validate import main

main()
