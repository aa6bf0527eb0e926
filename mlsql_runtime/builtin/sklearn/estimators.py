"""Find, check and create the estimator that fit parameters name."""

import difflib
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import mlsql

try:
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.utils import get_tags
except ImportError as error:
    raise ImportError(f"the built-in algorithms need scikit-learn 1.6 or newer in {sys.executable}: {error}") from None

#: Fit parameters of the built-in script; all others are the estimator's own.
OWN = ("moduleName", "className", "inputCol", "label", "incremental", "batchSize", "labelSize", "epochs", "scorer")


def make_estimator(params: Mapping[str, str]) -> Any:
    """Return the estimator with its hyperparameters, and with the job's seed as ``random_state``, unless it has one.

    :raises ValueError: with the names that exist, when one does not.
    """
    cls = find_class(params["moduleName"], params["className"])
    name = f"{params['moduleName']}.{params['className']}"
    try:
        estimator = cls()
    except Exception as error:
        raise ValueError(f"{name} cannot be made from parameters that are text: {error}; write a training script") from None
    known = estimator.get_params()
    unknown = [param for param in params if param not in known and param not in OWN]
    if unknown and not takes_any(cls):
        raise ValueError(f"{name} has no parameter '{unknown[0]}'{near(unknown[0], [*known, *OWN])}")
    estimator.set_params(**dict.fromkeys(unknown))  # so that it knows them from now on
    mlsql.sklearn_configure_params(estimator, params)
    if "random_state" in known and "random_state" not in params and mlsql.seed() is not None:
        estimator.set_params(random_state=mlsql.seed())
    check_use(estimator, name)
    return estimator


def find_class(module_name: str, class_name: str) -> type:
    """Return a class that follows scikit-learn's conventions, from any package."""
    module = find_module(module_name)
    found = getattr(module, class_name, None)
    name = f"{module_name}.{class_name}"
    if found is None:
        raise ValueError(f"{module_name} has no class '{class_name}'{near(class_name, estimators_of(module))}")
    if not inspect.isclass(found):
        raise ValueError(f"{name} is a {type(found).__name__}, not a class{near(class_name, estimators_of(module))}")
    if not issubclass(found, BaseEstimator):
        bases = ", ".join(base.__name__ for base in found.__mro__[1:])
        raise ValueError(f"{name} is not an estimator: its bases are {bases}, and scikit-learn's BaseEstimator is not among them")
    if inspect.isabstract(found):
        concrete = [other for other in estimators_of(module) if other != class_name]
        raise ValueError(f"{name} is abstract, a base of others only{near(class_name, concrete)}")
    return found


def find_module(name: str) -> ModuleType:
    """Import a module."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"{name} cannot be imported: {error}") from None
        parent, _, last = error.name.rpartition(".")
        if parent:
            raise ValueError(f"{parent} has no module '{last}'{near(last, modules_of(parent))}") from None
        raise ValueError(f"there is no package '{last}' in {sys.executable}; install it there, or correct moduleName") from None
    except Exception as error:
        raise ValueError(f"{name} cannot be imported: {type(error).__name__}: {error}") from None


def check_use(estimator: Any, name: str) -> None:
    """Raise an error unless the estimator learns from vectors, and can predict or transform others."""
    takes = get_tags(estimator).input_tags
    if not hasattr(estimator, "fit") or not (takes.two_d_array or takes.one_d_array):
        raise ValueError(f"{name} does not learn from feature vectors; write a training script")
    if not hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
        raise ValueError(f"{name} has, with these parameters, neither predict nor transform, so a model of it could not be used")


def class_name(model: Any) -> str:
    """Return the name of an estimator's class; of a pipeline, that of its last step."""
    steps = getattr(model, "steps", None)
    return type(steps[-1][1] if steps else model).__name__


def takes_any(cls: type) -> bool:
    """Return whether it takes parameters that it does not name, as LightGBM's and XGBoost's estimators do."""
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in inspect.signature(cls).parameters.values())


def needs_labels(estimator: Any) -> bool:
    """Return whether it learns with labels."""
    return bool(get_tags(estimator).target_tags.required or is_classifier(estimator) or is_regressor(estimator))


def takes_sparse(estimator: Any) -> bool:
    """Return whether it takes SciPy's sparse matrices."""
    return bool(get_tags(estimator).input_tags.sparse)


def estimators_of(module: ModuleType) -> list[str]:
    """Return the public estimators of a module by name."""
    found = {name: value for name, value in vars(module).items() if inspect.isclass(value) and not name.startswith("_")}
    return [name for name, value in found.items() if issubclass(value, BaseEstimator)]


def modules_of(package: str) -> list[str]:
    """Return the names of the public modules of a package."""
    import pkgutil

    path = getattr(sys.modules[package], "__path__", ())
    return [module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")]


def near(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'SVC'?``, or an empty text."""
    plain = {name.lower().replace("_", ""): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("_", ""), plain, n=1)
    return f"; did you mean '{plain[found[0]]}'?" if found else ""
