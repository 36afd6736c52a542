"""Tasks whose actions are words: describe a picture, answer a question, hold a conversation.

They are Gymnasium environments like all others, so that one way leads from an expert's words to a
corpus, to training, acting and scores. Registration imports no package of the pictures' sources.
"""

import gymnasium

DOMAIN = "text"
TASKS = {
    "text/captioning": "captioning:CaptioningEnv",
    "text/dialogue": "dialogue:DialogueEnv",
    "text/vqa": "questions:QuestionEnv",
}
"""Id -> where its environment is, below this package."""


def register_language() -> None:
    """Registers the environments with Gymnasium; a second call changes nothing."""
    for task, place in TASKS.items():
        if task not in gymnasium.registry:
            gymnasium.register(id=task, entry_point=f"gato_gym.envs.language.{place}")
