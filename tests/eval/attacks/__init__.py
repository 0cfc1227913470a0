"""Programs that try to break out, and answers that try to pass without solving anything.

Each function is an attack by itself: tests/eval/sandbox hands the source of the file to the
sandbox, calls the function there, and looks at what it did to the machine. Nothing here runs in
pytest.
"""
