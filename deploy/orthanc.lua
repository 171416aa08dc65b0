-- Passes every mammogram and breast ultrasound on to the node as it comes, so that the node, not a timer here,
-- decides when the study is complete. What the node itself sends, its results, is never passed back to it.

local analysed = {MG = true, US = true}

function OnStoredInstance(instanceId, tags, metadata, origin)
  local fromNode = origin['RequestOrigin'] == 'DicomProtocol' and origin['RemoteAet'] == 'MAMMONODE'
  if analysed[tags['Modality']] and not fromNode then
    SendToModality(instanceId, 'mammonode')
  end
end
