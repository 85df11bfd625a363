"""The commands: the only reader of the user's arguments and of the environment variables ``TIDEGATE_*``.

A command turns what was typed into settings, hands them down, and shows what comes back: results on stdout,
everything else on stderr. It imports what it needs when it runs, so that ``tidegate --help`` costs nothing.
"""
