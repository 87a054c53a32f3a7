"""Score a file of applicants of any size through the scoring service: ``riskfed score-file``.

    exchange.py     one HTTP request whose body and answer flow at the same time
    target.py       where the service is, and how this side shows who it is
    answers.py      what the service answers, read with suspicion
    service.py      what is asked of the service: the served model, and scores; with patience
    applicants.py   a CSV or Parquet file as requests, typed by the served model's inputs
    parts.py        answers on disk until all are there, so that an interrupted file goes on where it stopped
    file.py         all of it, from the file of applicants to the file of scores

Needs pyarrow and pandas (the extra `files`), which the service itself does not.
An applicant's values go into the request, and nowhere else.
"""
