"""Pictures with words, texts and conversations of other data sets -> episodes of a corpus."""
