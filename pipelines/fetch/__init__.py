"""moodroll-data fetch: a pinned source, downloaded, verified and unpacked."""
