"""The search itself: what is tried, told to Ray Tune and Optuna, stopped early and written down."""
