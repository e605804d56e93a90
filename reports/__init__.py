"""Tables, figures and the HTML leaderboard of a run, read from its files."""
