"""What a run says about where it ran, and the settings of the command line."""

import sys
from datetime import datetime

import numpy as np
import pytest

import emjax
from emjax import clock, compilation_cache
from emjax.environment import describe_run, fingerprint, versions
from emjax.errors import ConfigError
from emjax.experiments.execution import runtime


def test_the_same_numbers_have_the_same_fingerprint():
    values = emjax.datasets.load("faithful").values
    assert fingerprint(values) == fingerprint(np.asfortranarray(values)) == fingerprint(values.astype(">f8"))
    assert fingerprint(values) != fingerprint(values[::-1])
    assert fingerprint(values) != fingerprint(values.reshape(4, -1))
    assert fingerprint(np.array([[1.0]])) != fingerprint(np.array([[np.nextafter(1.0, 2.0)]]))


def test_a_run_is_described_without_the_names_of_machine_and_user():
    dataset = emjax.datasets.load("galaxies")
    described = describe_run(dataset, model={"n_components": 3}, precision="float64", seed=7, started=clock.now())
    assert described["format"] == 1
    assert described["model"] == {"n_components": 3}
    assert described["seed"] == 7
    assert described["precision"] == "float64"
    assert described["data"]["feature_names"] == ["velocity"]
    assert described["seconds"] >= 0.0
    assert datetime.fromisoformat(described["started"]).tzinfo is not None
    assert set(described["machine"]) == {"python", "implementation", "system", "release", "processor", "cpus"}


def test_a_package_that_is_not_installed_has_no_version():
    assert versions(("numpy", "no-such-package-of-emjax")) == {
        "numpy": np.__version__,
        "no-such-package-of-emjax": None,
    }


@pytest.mark.parametrize(("value", "wanted"), [("", True), ("0", True), ("no", True), ("1", False), ("yes", False)])
def test_the_cache_can_be_turned_off(monkeypatch, value, wanted):
    monkeypatch.setenv("EMJAX_NO_CACHE", value)
    assert compilation_cache.cache_wanted() is wanted


def test_the_cache_folder_can_be_chosen_and_measured(monkeypatch, tmp_path):
    monkeypatch.delenv("EMJAX_CACHE_DIR", raising=False)
    monkeypatch.delitem(sys.modules, "jax")  # which has been told a folder of the tests
    assert compilation_cache.cache_folder().parts[-2:] == ("emjax", "jax")
    monkeypatch.setenv("EMJAX_CACHE_DIR", str(tmp_path / "c"))
    assert compilation_cache.cache_folder() == tmp_path / "c"
    assert compilation_cache.cache_size() == (0, 0)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "program").write_bytes(b"12345")
    assert compilation_cache.cache_size() == (1, 5)


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_number_of_devices_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("EMJAX_CPU_DEVICES", value)
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")
    with pytest.raises(ConfigError, match="EMJAX_CPU_DEVICES"):
        runtime.configure()
