"""
Promises that hold for any input whatever, and a search for inputs that break them.

Each is an ordinary test whose arguments Hypothesis makes up: the suite tries a few, the same in every run, and
``make fuzz`` new ones for as long as it is told.
"""
