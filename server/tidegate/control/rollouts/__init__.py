"""From one revision to the next by steps that are judged: a state machine as a table. Pure but for its shells."""
