"""Programs that try to break out, and answers that try to pass without solving anything.

Each function is one attack. tests/eval/sandbox gives the file's source to the sandbox, calls the
function there, and checks what it did to the machine. Nothing here runs inside pytest.
"""
