"""What stands between a step and the outside world: the rules, the gate, the effects."""
