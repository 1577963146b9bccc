def take_turns(seconds: float) -> None:
    """This thread wants a core for so long at a time, when others want it too; a kernel that knows of it takes note."""
