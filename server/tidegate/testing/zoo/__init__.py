"""Small real models, trained here and now with a fixed seed: one module per framework, one case per format.

The contract suite of the runtimes runs over them, and whoever writes a runtime of their own can put theirs beside
them. Importing a module of the zoo imports no framework; making a model does.
"""
