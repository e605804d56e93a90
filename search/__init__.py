"""The commands and the stages behind them: search, retrain, evaluate, report."""
