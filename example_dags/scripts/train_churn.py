"""Learn which customers leave, from columns of numbers and text with missing values. The label is text: yes or no."""

import mlsql
import mlsql_model
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

classifier = LogisticRegression(max_iter=1000)
mlsql.sklearn_configure_params(classifier)  # C, from fit_params
model = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    ),
    classifier,
)

frame = mlsql.all_frame()  # a pandas DataFrame with the feature columns and the label column
model.fit(frame[mlsql.feature_columns], frame[mlsql.label_column])

test = mlsql.get_validate_frame()
print("mlsql_validation_score:%f" % model.score(test[mlsql.feature_columns], test[mlsql.label_column]))
mlsql_model.sk_save_model(model)
