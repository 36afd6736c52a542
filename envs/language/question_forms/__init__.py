"""Forms of questions, by the source of the scenes that they are about.

A form is a function of a scene and a generator that gives a `Question`, or None where the scene has
nothing to ask about in this form.
"""
