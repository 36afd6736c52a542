"""Tasks whose actions are words: describe a picture, answer a question, hold a conversation.

They are Gymnasium environments like all others, so that one way leads from an expert's words to a
corpus, to training, acting and scores. Registration imports no package of the pictures' sources.
"""
