"""Estimators, intervals over problems, and paired contrasts: numpy and scipy alone, nothing of warmrl.

Import from the module that holds the name: `estimators` needs the standard library only, so it costs nothing.
"""
