import keras
import pytest


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.set_random_seed(7)
