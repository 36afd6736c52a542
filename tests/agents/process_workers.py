"""What the tests of processes run in theirs: importable by name there."""

import gymnasium
import numpy as np
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

STEPS, LATER = 12, 5


def new_agent():
    """With weights so large that what was seen before changes the actions."""
    torch.manual_seed(1)
    model = Gato(model_config("tiny"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    tasks = ("CartPole-v1", "Pendulum-v1")
    return GatoAgent(model, {task: envs.task_spec(task) for task in tasks})


def observations(begin, end):
    """Of Pendulum-v1."""
    return np.random.default_rng(0).normal(size=(STEPS, 3)).astype(np.float32)[begin:end]


def act(agent, begin=0, end=STEPS):
    """Sampled actions: nothing but the whole state of the agent tells the next."""
    return [float(agent.act(obs, deterministic=False)[0]) for obs in observations(begin, end)]


def act_otherwise(agent):
    """An episode with other observations than `act` has."""
    agent.reset("Pendulum-v1")
    for obs in observations(0, STEPS):
        agent.act(-obs)


def act_anew(agent):
    agent.reset("Pendulum-v1")
    return act(agent)


def predict(agent, state):
    """Two rows go on from a state for some steps, with all their actions."""
    taken = []
    for obs in observations(LATER, STEPS):
        actions, state = agent.predict(np.stack([obs, -obs]), state)
        taken.append(actions)
    return np.stack(taken), state


def act_with_own_agent(seed):
    """The bundled agent is loaded here."""
    agent = GatoAgent.from_pretrained(device="cpu")
    env = gymnasium.make("CartPole-v1")
    agent.reset(env)
    obs, _ = env.reset(seed=seed)
    actions = []
    for _ in range(3):
        actions.append(int(agent.act(obs)))
        obs = env.step(actions[-1])[0]
    return actions


def put_actions(agent, queue):
    queue.put(act(agent, LATER))


def threads_after_work(agent):
    """How many threads are left; waits forever if it is more than there are."""
    torch.randn(512, 512) @ torch.randn(512, 512)
    agent.reset("Pendulum-v1")
    act(agent)
    return torch.get_num_threads()
