"""Train a pipeline on texts: TF-IDF, then a linear classifier. The table has the columns text and label, and no vectors.

Rows with whatever columns a table has come by mlsql.read_data(); all_data and read_batches are for feature vectors.
"""

import mlsql
import mlsql_model
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

texts, labels = [], []
for rows in mlsql.read_data()(max_records=1000):
    texts += [row["text"] for row in rows]
    labels += [row["label"] for row in rows]

vectorizer, classifier = TfidfVectorizer(), LogisticRegression(random_state=mlsql.seed())
for step in (vectorizer, classifier):
    mlsql.sklearn_configure_params(step)  # min_df for the one, C for the other: their parameters have different names
model = make_pipeline(vectorizer, classifier)

folds = int(mlsql.get_param(mlsql.fit_param, "folds", 3))
print("mlsql_validation_score:%f" % cross_val_score(model, texts, labels, cv=folds).mean())

model.fit(texts, labels)
mlsql.report(words=len(vectorizer.vocabulary_))
mlsql_model.sk_save_model(model)
