"""Which models are served: what lies on disk against what is loaded, and what is done about the difference.

It owns every version of a model that runs, and knows neither listeners nor routes: whoever composes a server gives it
a way to make a model, and is told which of them take requests.
"""
