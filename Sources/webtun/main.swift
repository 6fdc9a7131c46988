print("webtun")
