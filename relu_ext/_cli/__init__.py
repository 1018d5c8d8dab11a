"""The commands of ``relu-ext``, a module each: ``add(commands)`` says what it takes and runs."""
