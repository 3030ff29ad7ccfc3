"""How TensorFlow is told to answer a few lines soon."""

from app.runtime.tensorflow_start import answering_soon, import_tensorflow


def test_graphs_are_not_improved_while_a_few_lines_are_translated_and_are_afterwards() -> None:
    import_tensorflow()
    import tensorflow as tf

    def is_off() -> bool:
        return bool(tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False))

    assert not is_off()
    with answering_soon():
        assert is_off()
    assert not is_off()
