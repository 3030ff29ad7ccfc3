"""The demos of all tasks, by the name of the task."""

from keras_nmt.app.commands.demo.demo import Demo
from keras_nmt.app.commands.demo.language_model import LanguageModelDemo
from keras_nmt.app.commands.demo.parsing import ParsingDemo
from keras_nmt.app.commands.demo.summarization import SummarizationDemo
from keras_nmt.app.commands.demo.translation import TranslationDemo

DEMOS: dict[str, Demo] = {
    demo.task: demo for demo in (TranslationDemo(), SummarizationDemo(), ParsingDemo(), LanguageModelDemo())
}
