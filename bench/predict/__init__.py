"""How well runtimes are predicted: replays of real histories beside other predictors, and what a prediction costs."""
