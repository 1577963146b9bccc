"""The command line. `app.py` is the entry and the one place where errors become exit codes; `commands.py` holds the
grammar and the help texts and is the only module that imports typer; each other module does the work of one command.
"""
